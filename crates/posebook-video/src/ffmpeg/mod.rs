//! ffmpeg and ffprobe: the arguments by which they read a file, and the child processes.
//!
//! [`file_args`] gives the arguments that name a file, [`refused`] says why a file was not opened, [`child`] starts the programs and owns the processes, [`watchdog`]
//! kills those that stall, [`hardware`] checks for hardware decoding methods. What is decoded or encoded, and with which
//! further arguments, is decided by the callers.

pub mod child;
pub mod file_args;
pub mod hardware;
pub mod refused;
pub mod watchdog;
