//! What exporters and scrapers share: sending queue, retry, timeout, batch sender, scraper loop.
