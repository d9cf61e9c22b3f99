//go:build !fault

package main

import "dmarcgate/milter"

// wrapHandler is where the build tag fault plants failures; a daemon that is
// built without it has none.
func wrapHandler(h milter.Handler) milter.Handler { return h }
