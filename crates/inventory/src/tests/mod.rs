//! Against a real PostgreSQL, a database for each test.
