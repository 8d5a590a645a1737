//! A CloudTrail trail as a whole: reading it, comparing it with a baseline, whether it is healthy.
