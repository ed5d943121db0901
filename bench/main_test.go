package bench

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var (
	roundsFlag   = flag.Int("rounds", 0, "bench: rounds of each comparison (0: N of -benchtime Nx, else as many as -timeout leaves time for, at most 3)")
	secondsFlag  = flag.Float64("seconds", 0, "bench: seconds of load in each measurement (0: -benchtime, else 2, or 1 to be in time)")
	onlyFlag     = flag.String("only", "", "bench: contestants to measure, with commas between them (empty: all)")
	sendfileFlag = flag.Bool("sendfile", false, "bench: hosts send downloads by sendfile(2) instead of write(2)")
	reportFlag   = flag.String("report", "", "bench: directory, from bench/, to write a report and its plots into (empty: none)")
	buildFlag    = flag.String("build", "", "bench: flags of go build for kroxy-ev")
)

var variantFlag variants

func init() {
	flag.Var(&variantFlag, "variant", "bench: another kroxy-ev that takes part: NAME [NAME=VALUE | -FLAG | DIRECTORY]..., for its environment, for go build, or to build from")
}

// board collects the comparisons of this run.
var board struct {
	options
	harness *harness // made by the first benchmark
	err     error    // why it could not be
	all     []*comparison
	skipped []string // what was not measured, and why
}

func TestMain(m *testing.M) {
	if status, ok := playRole(); ok {
		os.Exit(status)
	}
	begin := time.Now()
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		os.Exit(m.Run())
	}
	given := ""
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "test.benchtime" {
			given = f.Value.String()
		}
	})
	var err error
	board.options, err = chooseOptions(given, *roundsFlag, *secondsFlag, *onlyFlag)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	board.chosen = matching(flag.Lookup("test.bench").Value.String(), suite)
	board.count = int(flag.Lookup("test.count").Value.(flag.Getter).Get().(uint))
	board.endBy(begin, flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration))
	board.sendfile = *sendfileFlag
	board.build, board.variants = strings.Fields(*buildFlag), variantFlag
	// A sub-benchmark without others below it runs once for each -count: it has rounds of its own, and b.N is meaningless for them.
	if err := flag.Set("test.benchtime", "1x"); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	var rep *report
	if *reportFlag != "" {
		if rep, err = newReport(*reportFlag, begin, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	status := m.Run()
	for _, c := range board.all {
		if len(c.failed) > 0 {
			status = 1 // package testing forgets failures of the second and later repetitions
		}
	}
	if board.harness != nil {
		board.harness.close()
	}
	for _, why := range board.skipped {
		fmt.Println(why)
	}
	if err := writeTable(os.Stdout, board.all); err != nil {
		fmt.Fprintln(os.Stderr, "bench: writing the table:", err)
		status = 1
	}
	switch {
	case rep == nil:
	case len(board.all) == 0:
		fmt.Println("bench: nothing was measured, and there is no report")
	default:
		rep.outcome = outcomeOf(board.harness, board.all, board.skipped, time.Since(begin))
		path, err := rep.write()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		} else {
			fmt.Println("bench: the report is", path)
		}
	}
	os.Exit(status)
}

// theHarness makes the harness when it is first called.
func theHarness(b *testing.B) *harness {
	if board.harness == nil && board.err == nil {
		board.harness, board.err = newHarness(board.options, os.Stdout)
		if board.err == nil {
			board.err = pinSelf(board.harness.cores.rest)
		}
	}
	if board.err != nil {
		b.Fatal(board.err)
	}
	return board.harness
}
