//! A cluster of real nodes, and how to talk to it.

pub(crate) use crate::torture::cluster::{Cluster, Options};
pub(crate) use crate::torture::token::token;
pub(crate) use crate::torture::unary::Unary;
