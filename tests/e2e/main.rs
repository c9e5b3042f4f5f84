//! The whole system from outside: the real docker CLI, docker-py and raw HTTPS against three hosts, as a tenant sees it.
//!
//! `tests/run` brings the system up and passes its coordinates in `WHARFINGER_E2E_*`. Every test has a tenant of its own,
//! so that tests run side by side and no test can see another's objects.

mod apart;
mod bad_input;
mod build;
mod capture;
mod checker;
mod commit;
mod connections;
mod context;
mod converge;
mod credentials;
mod disconnects;
mod events;
mod exec;
mod files;
mod harm;
mod images;
mod ipv6;
mod isolation;
mod lifecycle;
mod listing;
mod logs;
mod measure;
mod memory;
mod network;
mod options;
mod ports;
mod push;
mod python;
mod quotas;
mod rename;
mod run;
mod sdk;
mod streams;
mod survive;
mod system;
mod unsupported;
mod volumes;
mod websocket;
