// Package sendmail reads and edits the milters in sendmail.mc, from which m4 makes
// sendmail.cf, and reads options of sendmail.cf. Its functions are pure: text in,
// text out. It does not understand m4: a definition that spans lines, or that a macro
// makes, is not seen, so a caller compares what m4 makes before and after.
//
// Limits: callers bound the size of the files.
package sendmail
