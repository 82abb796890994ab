//! Servers that answer slowly, endlessly, wrongly or not at all.
