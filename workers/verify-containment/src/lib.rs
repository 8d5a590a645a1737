//! Re-reads whether containment holds, and names what does not.
