//! A broker that has copies, or is one: the streams between masters and slaves.
