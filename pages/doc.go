// Package pages serves the status pages: what the daemon does now, its decisions
// with their causes, senders, rules, the last run of what-if, aggregate reports, and
// DNS. They work without JavaScript and load nothing from elsewhere. The daemon starts
// the server where [pages] listen says; package view has what each page shows.
//
// The pages change nothing: they answer GET and HEAD alone. They have no password.
// Who can connect is up to the socket, and the Host field of a request must name
// loopback, so that a page of a foreign site cannot read them through a browser.
//
// # Limits
//
// limits.go bounds connections, pages that are made at once, their time and the
// answers that are kept. Mail never waits for a page. What has an index is read by
// it; a filter without one looks at the newest maxLooked rows, and the page says so.
//
// # Failures
//
// A part of a page that cannot be read says why, and the other parts are shown. A
// page that has to wait too long for its turn is 503 with Retry-After.
package pages
