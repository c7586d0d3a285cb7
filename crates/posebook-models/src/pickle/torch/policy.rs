//! Which names a checkpoint's pickle may contain: tensors, and what training saves besides them (settings, callbacks, paths,
//! dates), which is stored as data and not interpreted.
//!
//! Hyper-parameters may be objects of any class, so a list of accepted classes would refuse valid files. Classes are
//! accepted by default, functions only if listed, and dangerous names are refused.

use crate::pickle::array::ArrayPolicy;
use crate::pickle::machine::Policy;

/// Policy for checkpoints.
pub(in crate::pickle) struct TorchPolicy;

/// Modules, with their submodules, that affect the system or run code.
const DENIED_MODULES: &str = "\
    _aix_support _bootsubprocess _io _osx_support _posixsubprocess _pyrepl _thread asyncio bdb \
    cProfile cgi cmd code codeop commands concurrent ctypes dill distutils doctest ensurepip \
    fileinput ftplib glob http idlelib imaplib importlib inspect io joblib lib2to3 marshal mmap \
    multiprocessing nt os pdb pickle pip pkgutil platform poplib popen2 posix posixpath profile pty \
    pydoc runpy setuptools shelve shutil smtplib socket subprocess sys tempfile timeit urllib \
    webbrowser zipimport";

/// Builtins that are data or create data.
const ALLOWED_BUILTINS: &str = "\
    Ellipsis NoneType NotImplemented bool bytearray bytes complex dict float frozenset int list long \
    object property range set slice str tuple type unicode xrange basestring";

impl Policy for TorchPolicy {
    fn allows_name(&self, module: &str, name: &str) -> bool {
        let root = module.split('.').next().unwrap_or_default();
        match root {
            "builtins" | "__builtin__" | "__builtins__" => {
                contains_word(name, ALLOWED_BUILTINS) || name.ends_with("Error") || name.ends_with("Warning")
            }
            "types" => !matches!(name, "FunctionType" | "LambdaType" | "CodeType" | "MethodType"),
            "torch" => !matches!(name, "load" | "hub" | "_load_from_bytes" | "compile"),
            _ => {
                !contains_word(root, DENIED_MODULES)
                    && !name.split('.').any(|part| part.starts_with("__") && part.ends_with("__"))
            }
        }
    }

    fn allows_call(&self, module: &str, name: &str) -> bool {
        let is_known = match module {
            "torch._utils" => name.starts_with("_rebuild_"),
            "torch._tensor" => name.starts_with("_rebuild_from_type"),
            "torch" => matches!(name, "Size" | "device"),
            "torch.serialization" => name == "_get_layout",
            "collections" => matches!(name, "OrderedDict" | "defaultdict" | "Counter" | "deque" | "ChainMap"),
            "builtins" | "__builtin__" => contains_word(name, ALLOWED_BUILTINS),
            "datetime" => matches!(name, "datetime" | "date" | "time" | "timedelta" | "timezone"),
            "functools" => name == "partial",
            // annotations: `Union[int, None]`
            "operator" | "_operator" => name == "getitem",
            "re" => name == "_compile",
            "numpy.random" | "numpy.random._pickle" => name.starts_with("__") && name.ends_with("_ctor"),
            _ => false,
        };
        is_known || is_class_name(name) || ArrayPolicy.allows_call(module, name)
    }

    fn allows_object(&self, module: &str, name: &str) -> bool {
        self.allows_name(module, name)
    }
}

fn contains_word(name: &str, names: &str) -> bool {
    names.split(' ').any(|one| one == name)
}

/// Python classes begin with a capital letter after leading underscores; functions do not.
fn is_class_name(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    last.trim_start_matches('_').starts_with(|letter: char| letter.is_uppercase())
}
