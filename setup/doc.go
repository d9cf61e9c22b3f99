// Package setup connects an MTA of this host to the daemon: it finds the changes of
// the MTA's configuration with the reason for each, makes them, proves by a message
// that the daemon sees mail, and takes everything back if that fails or on request.
//
// For Postfix, [PlanPostfix] is a pure function of what postconf says (package
// mta/postfix). Existing milters keep their order and their settings. Nothing but
// main.cf and master.cf of the named instance is written, and a folder of our own
// beside them (journal.go) that is needed to undo.
//
// For Sendmail, the same is done to sendmail.mc and sendmail.cf (package
// mta/sendmail), without a message.
//
// Failures: until main.cf or sendmail.cf is replaced, the last file to be, the MTA behaves
// as before, whatever happens. Afterwards an error, a signal or a kill -9 has the
// former files put back: by this process, or by a guard that waits for its end
// (Options.Guard), or else by the next call. A file that somebody else has changed
// meanwhile is never overwritten: the error says so.
package setup
