// Command clients runs scenarios of RocketMQ's Go client against a broker.
//
// clients NAMESRV [SCENARIO_REGEX] prints a line for each scenario and the totals; the exit code is 1
// when one failed.
package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const scenarioTimeout = 80 * time.Second

type scenario struct {
	name string
	run  func(*testContext)
}

func all() []scenario {
	scenarios := always()
	if accountsAreChecked() {
		scenarios = append(scenarios, scenario{"go_acl_permissions", permissions})
	}
	return scenarios
}

func always() []scenario {
	return []scenario{
		{"go_rebalance", rebalance},
		{"go_transactions", transactions},
		{"go_retry_later", retryLater},
		{"go_trace", trace},
		{"go_orderly", orderly},
		{"go_push", push},
		{"go_tags", tags},
		{"go_broadcast", broadcast},
		{"go_offset_persist", offsetPersist},
		{"go_poll", poll},
		{"go_sync_send", syncSend},
		{"go_async_send", asyncSend},
		{"go_oneway_send", onewaySend},
		{"go_batch_send", batchSend},
		{"go_big_compressed", bigCompressed},
		{"go_properties", properties},
		{"go_pull_ends", pullEnds},
		{"go_errors", refusals},
	}
}

func main() {
	rlog.SetLogLevel("fatal")
	pattern := ".*"
	if len(os.Args) > 2 {
		pattern = os.Args[2]
	}
	wanted := regexp.MustCompile("^(?:" + pattern + ")$")
	var group sync.WaitGroup
	results := make(chan bool, len(all()))
	for _, each := range all() {
		if wanted.MatchString(each.name) {
			group.Add(1)
			go func(each scenario) {
				defer group.Done()
				results <- run(each, os.Args[1])
			}(each)
		}
	}
	group.Wait()
	close(results)
	passed, failed := 0, 0
	for good := range results {
		if good {
			passed++
		} else {
			failed++
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

func run(each scenario, namesrv string) bool {
	began := time.Now()
	context := newContext(namesrv, each.name)
	outcome := make(chan string, 1)
	go func() {
		defer func() {
			if problem := recover(); problem != nil {
				outcome <- strings.Join(strings.Fields(fmt.Sprint(problem)), " ")
			} else {
				outcome <- ""
			}
		}()
		each.run(context)
	}()
	problem := ""
	select {
	case problem = <-outcome:
	case <-time.After(scenarioTimeout):
		problem = "not done after " + scenarioTimeout.String()
	}
	if problem == "" {
		fmt.Printf("PASS %s %d\n", each.name, time.Since(began).Milliseconds())
	} else {
		fmt.Printf("FAIL %s: %s\n", each.name, problem)
	}
	context.close()
	return problem == ""
}
