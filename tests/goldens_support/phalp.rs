//! PHALP's goldens.
