package bench

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	roundsFlag   = flag.Int("rounds", 0, "bench: rounds of each comparison (0: N of -benchtime Nx, else 3)")
	secondsFlag  = flag.Float64("seconds", 0, "bench: seconds of load in each measurement (0: -benchtime, else 2)")
	onlyFlag     = flag.String("only", "", "bench: contestants to measure, with commas between them (empty: all)")
	sendfileFlag = flag.Bool("sendfile", false, "bench: hosts send downloads by sendfile(2) instead of write(2)")
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
}

func TestMain(m *testing.M) {
	if status, ok := playRole(); ok {
		os.Exit(status)
	}
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
	board.sendfile = *sendfileFlag
	board.build, board.variants = strings.Fields(*buildFlag), variantFlag
	// A leaf runs once for each -count: it has rounds of its own, and b.N says nothing about them.
	if err := flag.Set("test.benchtime", "1x"); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
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
	if err := writeTable(os.Stdout, board.all); err != nil {
		fmt.Fprintln(os.Stderr, "bench: writing the table:", err)
		status = 1
	}
	os.Exit(status)
}

// chooseOptions makes options of the flags: benchtime is -benchtime as given, or "".
func chooseOptions(benchtime string, rounds int, seconds float64, only string) (options, error) {
	o := options{rounds: 3, load: 2 * time.Second}
	if n, ok := strings.CutSuffix(benchtime, "x"); ok {
		x, err := strconv.Atoi(n)
		if err != nil {
			return o, fmt.Errorf("bench: -benchtime %s: %w", benchtime, err)
		}
		o.rounds = x
	} else if benchtime != "" {
		d, err := time.ParseDuration(benchtime)
		if err != nil {
			return o, fmt.Errorf("bench: -benchtime: %w", err)
		}
		o.load = d
	}
	if rounds != 0 {
		o.rounds = rounds
	}
	if seconds != 0 {
		o.load = time.Duration(seconds * float64(time.Second))
	}
	if o.rounds < 1 || o.load <= 0 {
		return o, fmt.Errorf("bench: %d rounds of %v: both must be positive", o.rounds, o.load)
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	return o, nil
}

// theHarness makes the harness once.
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

func TestChooseOptions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		benchtime string
		rounds    int
		seconds   float64
		only      string
		want      options
		bad       bool
	}{
		{want: options{rounds: 3, load: 2 * time.Second}},
		{benchtime: "5x", want: options{rounds: 5, load: 2 * time.Second}},
		{benchtime: "4s", want: options{rounds: 3, load: 4 * time.Second}},
		{benchtime: "4s", rounds: 7, seconds: 0.5, only: "nginx,kroxy-ev", want: options{rounds: 7, load: time.Second / 2, only: []string{"nginx", "kroxy-ev"}}},
		{benchtime: "0x", bad: true},
		{benchtime: "x", bad: true},
		{seconds: -1, bad: true},
		{rounds: -1, bad: true},
	} {
		got, err := chooseOptions(tc.benchtime, tc.rounds, tc.seconds, tc.only)
		if (err != nil) != tc.bad {
			t.Errorf("%+v: error %v", tc, err)
		}
		if err == nil && (got.rounds != tc.want.rounds || got.load != tc.want.load || !slices.Equal(got.only, tc.want.only)) {
			t.Errorf("%+v: got %+v", tc, got)
		}
	}
}
