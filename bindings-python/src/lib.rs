//! moorline-python
