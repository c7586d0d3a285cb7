//! HMR2's golden 08: pose metrics.
