package main

import (
	"context"
	"os"
	"strings"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// accountsAreChecked tells whether the server checks accounts (ACL).
func accountsAreChecked() bool { return os.Getenv("CLIENTS_ACCESS_KEY") != "" }

// ownAccount is the one that scenarios run with.
func ownAccount() primitive.Credentials {
	return primitive.Credentials{
		AccessKey: os.Getenv("CLIENTS_ACCESS_KEY"),
		SecretKey: os.Getenv("CLIENTS_SECRET_KEY"),
	}
}

// permissions: an account that may not, a wrong key and no key at all are refused with Java's words.
func permissions(c *testContext) {
	c.createTopic()
	for access, why := range map[string]string{
		"limited": "No default permission for topic:" + c.topic(),
		"nobody-": "No acl config for nobody-",
		"":        "No accessKey is configured",
	} {
		options := []producer.Option{
			producer.WithNameServer([]string{c.namesrv}),
			producer.WithInstanceName(c.instance()),
			producer.WithGroupName("P_" + c.name + "_" + runName + access),
			producer.WithSendMsgTimeout(10 * time.Second),
		}
		if access != "" {
			credentials := primitive.Credentials{AccessKey: access, SecretKey: ownAccount().SecretKey}
			options = append(options, producer.WithCredentials(credentials))
		}
		made := start(options)
		c.closeLater(made.Shutdown)
		_, err := made.SendSync(context.Background(), message(c.topic(), "denied"))
		if err == nil || !strings.Contains(err.Error(), why) {
			panic("expected " + why + ", got " + errorText(err))
		}
	}
}

func start(options []producer.Option) rocketmq.Producer {
	starting.Lock()
	defer starting.Unlock()
	made, err := rocketmq.NewProducer(options...)
	check(err, "new producer")
	check(made.Start(), "start of a producer")
	return made
}

func errorText(err error) string {
	if err == nil {
		return "nothing"
	}
	return err.Error()
}
