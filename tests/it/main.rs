//! Integration tests of the library, one binary.

mod tidy;
