import sys
from importlib.machinery import ExtensionFileLoader as loader
from importlib.util import module_from_spec, spec_from_file_location
path = sys.argv[1]
sys.argv[:] = ["hostler"]
spec = spec_from_file_location("_hostler", path, loader=loader("_hostler", path))
extension = module_from_spec(spec)
sys.modules["_hostler"] = extension
spec.loader.exec_module(extension)
extension.mold_main(3)
