//! Integration tests of the library, one binary.

mod conformance;
mod isolation_forest;
mod tabular;
