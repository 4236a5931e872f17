"""Suggestions of this package's names for those of other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

__all__ = ["check_keywords", "instead_of", "nearest_name"]

#: What other libraries call it, in lower case without underscores, by what it is called here.
_WORDS = {
    "read(path)": "load open imread loadimage readimage openimage loadvolume imopen readdicom",
    "write(path, image)": "save saveimage imwrite imsave writeimage tofile export",
    "SpatialArray(data, spacing=..., origin=...)": "image fromarray getimagefromarray "
    "scalarimage labelmap volume metatensor nifti1image fromnumpy imagefromarray dataarray",
    "resample(image, spacing=...), or shape=": "zoom rescale resize resampleimage "
    "resampletospacing spacing changespacing",
    "resample(image, to, transform=...)": "warp applytransforms applytransform rotate "
    "affinetransform",
    "resample(image, to=other)": "resampleto resampletooutput resamplefromto matchgrid",
    "reorient(image, 'RAS')": "orient dicomorient asclosestcanonical orientation toras tolps "
    "canonical",
    "show(image), or image.plot()": "view imshow display plotimg plotanat",
    "register(fixed, moving)": "align coregister registerimages",
    "pad_to(image, bounds), or numpy.pad": "pad padto cropandpad",
    "metrics": "dice jaccard hausdorff hausdorffdistance surfacedistance surfacedistances hd95 hd "
    "assd averagesurfacedistance surfacedice normalizedsurfacedice volumesimilarity",
    "segmentation": "keeplargest keeplargestconnectedcomponent removesmallobjects expandlabels "
    "relabelsequential relabelcomponent",
    "learning": "resampledataorsegtoshape resampledataorsegtospacing resamplelogitstolabels",
    "conform(image, intensity=...)": "znormalization normalizeintensity scaleintensity "
    "scaleintensityrange rescaleintensity",
    "conform(image, shape=...)": "croporpad resizewithpadorcrop",
    "restore(prediction, record)": "invert inverse",
    "random_affine": "randaffine randomaffine",
    "random_elastic": "randelastic rand3delastic randomelasticdeformation",
    "measure": "regionprops marchingcubes measurements labelstatistics",
    "ndimage": "gaussian gaussianfilter medianfilter label gradient sobel binaryerosion "
    "binarydilation smooth distancetransformedt",
    "patches": "patch patchsampler gridsampler uniformsampler",
    "sliding_window": "slidingwindowinference slidingwindowinferer",
    "map_blocks(function, image)": "apply mapoverlap mapchunks",
    "asarray(object)": "asimage fromobject convert wrap",
    "from_nibabel(image)": "fromnifti",
    "from_simpleitk(image)": "fromsitk",
    "to_simpleitk(image)": "tositk",
}
_KNOWN = {word: here for here, words in _WORDS.items() for word in words.split()}


def instead_of(name: str, public: Sequence[str]) -> str:
    """Return words for what is meant by a name that is not there; none where nothing is near.

    Examples
    --------
    >>> instead_of("imread", ["read"])
    '; use spatial_duck.read(path)'
    >>> instead_of("resmaple", ["read", "resample"])
    "; did you mean 'resample'?"
    """
    here = _KNOWN.get(name.lower().replace("_", ""))
    if here is not None:
        return f"; use spatial_duck.{here}"
    near = nearest_name(name, [n for n in public if n != name], 0.75)
    return f"; did you mean {near!r}?" if near else ""


def nearest_name(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the name that is most like one that is not known; None if none is like it."""
    from difflib import get_close_matches  # which takes longer to load than this package

    found = get_close_matches(name, list(known), 1, cutoff)
    return found[0] if found else None


def check_keywords(function: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse keywords that a function does not have, with the nearest that it has.

    Raises
    ------
    TypeError
        If one of `given` is not among `known`; all of these are listed.

    Examples
    --------
    >>> check_keywords("read: nifti", ["scaeld"], ["form", "scaled"])
    Traceback (most recent call last):
    TypeError: read: nifti has no option scaeld=; did you mean scaled=? It has form=, scaled=
    """
    for name in given:
        if name not in known:
            near = nearest_name(name, known)
            guess = f"; did you mean {near}=?" if near else "."
            listed = ", ".join(f"{each}=" for each in known) or "none"
            raise TypeError(f"{function} has no option {name}={guess} It has {listed}")
