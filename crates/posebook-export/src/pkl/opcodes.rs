//! The opcodes that the writer needs (described in Python's `Lib/pickletools.py`).

macro_rules! opcodes {
    ($($name:ident = $code:expr),* $(,)?) => { $(pub const $name: u8 = $code;)* };
}

opcodes! {
    MARK = b'(', STOP = b'.', BININT = b'J', BININT1 = b'K', NONE = b'N', REDUCE = b'R', BINUNICODE = b'X', BUILD = b'b',
    EMPTY_DICT = b'}', APPENDS = b'e', BINGET = b'h', EMPTY_LIST = b']', BINPUT = b'q', SETITEM = b's', TUPLE = b't',
    SETITEMS = b'u', BINFLOAT = b'G',
    // protocol 2
    PROTO = 0x80, TUPLE1 = 0x85, TUPLE2 = 0x86, TUPLE3 = 0x87, NEWTRUE = 0x88, NEWFALSE = 0x89, LONG1 = 0x8a,
    // protocol 3
    BINBYTES = b'B', SHORT_BINBYTES = b'C',
}
