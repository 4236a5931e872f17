from spatial_duck.geometry import Geometry
from spatial_duck.world import World
