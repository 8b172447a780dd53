//! The derive macros of ordain.
