// Package gather collects what package doctor decides about: the configuration with
// the findings of check-config, the status of the daemon over its control socket,
// Postfix by postconf, the milter sockets as the user of Postfix reaches them, the
// configuration of other milters, the name servers, the newest stored messages and
// files.
//
// It changes nothing. Everything is asked at once, and Facts returns after
// deadline at the latest: what has not answered then is named in Host.Unseen. What
// needs root is left out for other users, and named there, too.
package gather
