//! Recorded input against expected output, run through the binary.
