//! Every trait for programs without async.
