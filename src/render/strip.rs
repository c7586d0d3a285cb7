//! Film strips.
