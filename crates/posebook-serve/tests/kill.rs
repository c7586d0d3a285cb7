//! `kill -9` of a server at random moments, while clients upload, queue, watch and cancel.
//!
//! The server is this test program, started again: see `server_process`.

mod support;

mod kill {
    mod client;
    mod rounds;
}
