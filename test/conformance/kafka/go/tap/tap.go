// Package tap says what is checked, one line each on stdout: `ok NAME`, `not ok NAME WHY`, `skip NAME WHY`; and has what the checks of
// all clients share.
package tap

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

const (
	Seconds = 60
	Time    = 1_700_000_000_000
	Records = 120
)

// Skip is an error of a check that the client has nothing for.
type Skip string

func (s Skip) Error() string { return string(s) }

type Check struct {
	Name string
	Run  func(ctx context.Context) error
}

// Main runs the checks that the command line names behind HOST:PORT and PREFIX, or all. `module`: what the client is called.
func Main(module string, checks func(server, prefix string) []Check) {
	fmt.Println("version", version(module))
	good := true
	for _, check := range checks(os.Args[1], os.Args[2]) {
		if len(os.Args) > 3 && !slices.Contains(os.Args[3:], check.Name) {
			continue
		}
		err := within(check.Run)
		var skip Skip
		switch {
		case err == nil:
			fmt.Println("ok", check.Name)
		case errors.As(err, &skip):
			fmt.Println("skip", check.Name, skip)
		default:
			good = false
			fmt.Println("not ok", check.Name, strings.Join(strings.Fields(err.Error()), " "))
		}
	}
	if !good {
		os.Exit(1)
	}
}

// What still runs behind its deadline ends with the program.
func within(run func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), Seconds*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After((Seconds + 2) * time.Second):
		return fmt.Errorf("not within %d s", Seconds)
	}
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dep := range info.Deps {
		if dep.Path == module {
			return strings.TrimPrefix(dep.Version, "v")
		}
	}
	return "unknown"
}

func Equal(got, wanted any, what string) error {
	if reflect.DeepEqual(got, wanted) {
		return nil
	}
	return fmt.Errorf("%s: %.200s instead of %.200s", what, fmt.Sprint(got), fmt.Sprint(wanted))
}

func That(condition bool, what string) error {
	if condition {
		return nil
	}
	return errors.New(what)
}

type Header struct {
	Key   string
	Value []byte
}

// Record is one as it was sent, or as it came. A value that is not there is nil, as is a key.
type Record struct {
	Partition  int
	Key, Value []byte
	Headers    []Header
	Time       int64
}

// Make makes the i-th of a topic of three partitions: without a key, without a value, with many headers or none, short and long.
func Make(i int) Record {
	r := Record{Partition: i % 3, Time: Time + int64(i)}
	if i%7 != 0 {
		r.Key = fmt.Appendf(nil, "key %d", i)
	}
	if i%11 != 1 || r.Key == nil {
		size := i * 37 % 1500
		if i == 50 {
			size = 200_000
		}
		r.Value = make([]byte, size)
		rand.New(rand.NewSource(int64(i))).Read(r.Value)
		for at := range size / 2 {
			r.Value[at] = byte(i)
		}
	}
	for h := range i % 4 {
		r.Headers = append(r.Headers, Header{"same name", fmt.Appendf(nil, "header %d of %d", h, i)})
	}
	return r
}

// Order holds records as they come against those that were sent.
type Order struct{ next [3]int }

func (o *Order) Over() bool {
	return o.next[0] >= Records && o.next[1] >= Records && o.next[2] >= Records
}

func (o *Order) Take(r Record, offset int64) error {
	if o.next[r.Partition] == 0 {
		o.next[r.Partition] = r.Partition
	}
	i := o.next[r.Partition]
	o.next[r.Partition] += 3
	wanted := Make(i)
	if wanted.Value != nil && r.Value == nil && len(wanted.Value) == 0 {
		r.Value = wanted.Value
	}
	if err := Equal(offset, int64(i/3), fmt.Sprintf("offset of record %d", i)); err != nil {
		return err
	}
	return Equal(r, wanted, fmt.Sprintf("record %d", i))
}

func Numbers(from, to int) []int {
	all := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}
