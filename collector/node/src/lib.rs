//! The kernel's own figures: /proc, cgroup v1 and v2, filesystems. Parsing split from reading.
