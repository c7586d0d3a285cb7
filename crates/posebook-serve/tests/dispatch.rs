//! Jobs from the queue to their end: results, progress, failures, cancellation, limits, the end of the server.

mod dispatch {
    mod cancel;
    mod clock;
    mod end_of_server;
    mod limits;
    mod recovery;
    mod results;
    mod sources;
}
mod support;
