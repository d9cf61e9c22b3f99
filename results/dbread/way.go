package dbread

import (
	"database/sql/driver"
	"runtime"

	"modernc.org/sqlite"
)

// givingWay is an SQL condition that always holds. A read of an index that has this
// condition gives way to other goroutines at one row in 64: without a pause it would
// keep a processor for 10 ms, and an answer to the MTA would wait.
const givingWay = "(seq & 63 OR give_way())"

func init() {
	sqlite.MustRegisterScalarFunction("give_way", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		runtime.Gosched()
		return int64(1), nil
	})
}
