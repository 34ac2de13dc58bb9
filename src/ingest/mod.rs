//! The write pipeline: what the HTTP edge hands in and what it gets back.

mod seam;

pub use seam::{Accepted, Credential, Form, Health, Pipeline, Refusal, Submission, Trouble, admit};
