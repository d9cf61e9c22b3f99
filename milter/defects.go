package milter

// What is wrong in emersion/go-milter v0.5.0, and where it is put right. The
// list is what to check again when its version changes.
//
//	 M1  an answer other than continue replaces the backend,   session.reply writes answers past it
//	     and the next message has no client
//	 M2  header fields pile up over the messages of a          fields do not reach it: session.receive keeps them
//	     Sendmail connection, which sends no ABORT
//	 M3  negotiation ignores the offer and says version 2      negotiate, and conn.flush writes the version
//	 M4  closes the connection at UNKNOWN and QUIT_NC          session.receive answers them
//	 M5  drops ESMTP arguments, trims all brackets             session keeps the raw frame: pathAndArgs
//	 M6  cannot read "IPv6:2001:db8::1"                        parseAddr
//	 M7  each macro packet replaces the macros of all stages   macros, by stage
//	 M8  one macro list empties the others in Postfix          symLists names every stage
//	 M9  no timeouts                                           conn: a deadline for each read and write
//	M10  memory from the length word alone, header unlimited   conn.readFrame, Limits
//	M11  answers a malformed header frame, although no reply   session.receive closes the connection
//	     may be due
//	M12  answers events that were agreed to have no reply      session.proceed
//	M13  Serve ends at the first accept error                  Server.Serve
//	M14  no drain, unsynchronised state, NewMilter called from several goroutines:
//	                                                           one milter.Server per connection, Server.Shutdown
//	M15  logs bytes of the peer with log.Printf                such frames do not reach it; see the package comment
//	M16  no skip as a Response, no progress while it waits     session.reply; progress, which writes past it
//	     for the answer
//	M17  edits are not checked: a NUL or LF splits a field     InsertField, DeleteField, Hold and Refuse sanitise
//	M18  a 4 KiB buffer for each answer                        session.reply: only the answer to the offer has one
//
// Its client is not used: tests have a client of their own that knows no more
// of go-milter than an MTA does.
