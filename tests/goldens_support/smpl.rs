//! HMR2's golden 02: SMPL's forward pass.
