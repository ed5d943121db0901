package enginetest

import (
	"flag"
	"strconv"
)

// Parallel lets up to n tests run in parallel, unless the command line says how many: for tests that mostly wait, and need no processor
// meanwhile. TestMain calls it. It parses the command line.
func Parallel(n int) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(strconv.Itoa(n)); err != nil {
			panic(err)
		}
	}
}
