//! Drawings over pictures.
