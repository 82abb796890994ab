//! Configuration: sources, expansion, merge, spans, typed decoding with every problem reported at once.
