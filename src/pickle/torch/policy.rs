//! What may stand in a checkpoint's pickle: tensors; and beside them what training leaves there (settings,
//! callbacks, paths, dates), which is kept as data and never looked at.
//!
//! A checkpoint's hyper-parameters hold objects of classes that nobody here knows, so that a list of good classes
//! would refuse good files. Classes are let stand; functions have to be known; what can do harm is refused by name.

use crate::pickle::array::Arrays;
use crate::pickle::machine::Policy;

pub(in crate::pickle) struct Tensors;

/// Modules, with all below them, that do something to the system or run code.
const HARMFUL: &str = "\
    _aix_support _bootsubprocess _io _osx_support _posixsubprocess _pyrepl _thread asyncio bdb \
    cProfile cgi cmd code codeop commands concurrent ctypes dill distutils doctest ensurepip \
    fileinput ftplib glob http idlelib imaplib importlib inspect io joblib lib2to3 marshal mmap \
    multiprocessing nt os pdb pickle pip pkgutil platform poplib popen2 posix posixpath profile pty \
    pydoc runpy setuptools shelve shutil smtplib socket subprocess sys tempfile timeit urllib \
    webbrowser zipimport";

/// Python's own names that are data, or make it.
const BUILTINS: &str = "\
    Ellipsis NoneType NotImplemented bool bytearray bytes complex dict float frozenset int list long \
    object property range set slice str tuple type unicode xrange basestring";

impl Policy for Tensors {
    fn may_be_named(&self, module: &str, name: &str) -> bool {
        let root = module.split('.').next().unwrap_or_default();
        match root {
            "builtins" | "__builtin__" | "__builtins__" => {
                is_among(name, BUILTINS) || name.ends_with("Error") || name.ends_with("Warning")
            }
            "types" => !matches!(name, "FunctionType" | "LambdaType" | "CodeType" | "MethodType"),
            "torch" => !matches!(name, "load" | "hub" | "_load_from_bytes" | "compile"),
            _ => {
                !is_among(root, HARMFUL)
                    && !name.split('.').any(|part| part.starts_with("__") && part.ends_with("__"))
            }
        }
    }

    fn may_be_called(&self, module: &str, name: &str) -> bool {
        let is_known = match module {
            "torch._utils" => name.starts_with("_rebuild_"),
            "torch._tensor" => name.starts_with("_rebuild_from_type"),
            "torch" => matches!(name, "Size" | "device"),
            "torch.serialization" => name == "_get_layout",
            "collections" => matches!(name, "OrderedDict" | "defaultdict" | "Counter" | "deque" | "ChainMap"),
            "builtins" | "__builtin__" => is_among(name, BUILTINS),
            "datetime" => matches!(name, "datetime" | "date" | "time" | "timedelta" | "timezone"),
            "functools" => name == "partial",
            // how the types of annotations are written down: `Union[int, None]`
            "operator" | "_operator" => name == "getitem",
            "re" => name == "_compile",
            "numpy.random" | "numpy.random._pickle" => name.starts_with("__") && name.ends_with("_ctor"),
            _ => false,
        };
        is_known || looks_like_a_class(name) || Arrays.may_be_called(module, name)
    }

    fn may_stand(&self, module: &str, name: &str) -> bool {
        self.may_be_named(module, name)
    }
}

fn is_among(name: &str, names: &str) -> bool {
    names.split(' ').any(|one| one == name)
}

/// Classes begin with a capital letter, behind underscores; functions, in all that is written in Python, do not.
fn looks_like_a_class(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    last.trim_start_matches('_').starts_with(|letter: char| letter.is_uppercase())
}
