//! Against a real registry and a real inventory.
