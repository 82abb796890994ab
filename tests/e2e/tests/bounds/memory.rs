//! Memory: limiter, queues, stored requests.
