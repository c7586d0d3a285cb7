//! What the tests of the service share: a backend whose jobs are small shell scripts, a server in threads of the test, and a
//! client that sends requests as raw bytes.
#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]

mod backend;
mod client;
mod server;

pub use backend::{FakeBackend, PEOPLE_HEADER};
pub use client::{Answer, assert_problem, request, send_raw};
pub use server::{TestServer, wait_until};
