//! What commands answer, and how it is shown: a page is made once, and printed as a table for
//! people or as JSON, YAML or CSV for programs.

mod cell;
mod page;
mod printer;
mod yaml;

pub use self::{
    cell::Cell,
    page::{Column, Page, Table},
    printer::{Format, Printer},
};
