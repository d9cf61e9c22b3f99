// Package postfix reads one instance of Postfix as its own postconf sees it: the
// parameters of main.cf with their values expanded, the services of master.cf with
// their overrides, and the milters that each smtpd asks. Changes are values
// (Change), which postconf carries out and a person can read.
//
// It never reads main.cf or master.cf itself, knows nothing of dmarcgate, and
// changes nothing. The instance is the one of the configuration directory that it
// is given. The files belong to the administrator, but they are read with care:
// the answer of postconf has at most maxOutput bytes, a list at most maxMilters
// milters, and what is printed of them has to go through package term.
//
// Failures: a postconf that cannot be run, does not end in time or ends with an
// error is an error with its message. A list of milters that Postfix would refuse
// is an error of ParseMilters; the rest of the instance can be used.
package postfix
