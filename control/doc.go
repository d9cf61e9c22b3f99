// Package control asks the running daemon over its control socket, and prints the
// answers: its status, decisions as they are made, the DNS cache, the order that
// nothing is enforced, and the status of recorded results, which are read from
// their file when no daemon runs. Package admin has the socket and its protocol;
// this package changes no settings and reads no flags. A question that is answered
// at once may take 30 seconds; Tail and Dump end with their context.
package control
