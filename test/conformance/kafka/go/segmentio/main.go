// segmentio HOST:PORT PREFIX [CHECK…]: kafka-go against the server there.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"bide/conformance/tap"

	"github.com/segmentio/kafka-go"
)

type checks struct {
	server, prefix string
	client         *kafka.Client
	addr           net.Addr
}

// To the partition that a message names in its WriterData.
type manual struct{}

func (manual) Balance(m kafka.Message, _ ...int) int { return m.WriterData.(int) }

func (c *checks) writer(topic string) *kafka.Writer {
	return &kafka.Writer{
		Addr: c.addr, Topic: topic, Balancer: manual{}, BatchTimeout: 5 * time.Millisecond, BatchSize: 50,
		RequiredAcks: kafka.RequireAll,
	}
}

func (c *checks) topic(ctx context.Context, name string, partitions int, configs ...kafka.ConfigEntry) (string, error) {
	topic := c.prefix + "-" + strings.ReplaceAll(name, "=", "-")
	made := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: configs}
	answer, err := c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{made}})
	if err != nil {
		return "", err
	}
	return topic, answer.Errors[topic]
}

func numbered(numbers []int, partitions int) []kafka.Message {
	var all []kafka.Message
	for _, n := range numbers {
		at := time.UnixMilli(tap.Time + int64(n)*1000)
		all = append(all, kafka.Message{WriterData: n % partitions, Value: []byte(strconv.Itoa(n)), Time: at})
	}
	return all
}

func number(m kafka.Message) int {
	n, _ := strconv.Atoi(string(m.Value))
	return n
}

func (c *checks) filled(ctx context.Context, name string, partitions, records int) (string, error) {
	topic, err := c.topic(ctx, name, partitions)
	if err != nil {
		return "", err
	}
	writer := c.writer(topic)
	return topic, errors.Join(writer.WriteMessages(ctx, numbered(tap.Numbers(0, records), partitions)...), writer.Close())
}

// --- records -------------------------------------------------------------------------------------------------------------

func (c *checks) thereAndBack(name string, change func(*kafka.Writer)) tap.Check {
	return tap.Check{Name: name, Run: func(ctx context.Context) error {
		topic, err := c.topic(ctx, name, 3)
		if err != nil {
			return err
		}
		writer := c.writer(topic)
		change(writer)
		var sent []kafka.Message
		for i := range tap.Records {
			made := tap.Make(i)
			message := kafka.Message{WriterData: made.Partition, Key: made.Key, Value: made.Value, Time: time.UnixMilli(made.Time)}
			for _, header := range made.Headers {
				message.Headers = append(message.Headers, kafka.Header(header))
			}
			sent = append(sent, message)
		}
		if err := errors.Join(writer.WriteMessages(ctx, sent...), writer.Close()); err != nil {
			return err
		}
		var order tap.Order
		for partition := range 3 {
			if err := c.compare(ctx, topic, partition, &order); err != nil {
				return err
			}
		}
		return nil
	}}
}

func (c *checks) compare(ctx context.Context, topic string, partition int, order *tap.Order) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{c.server}, Topic: topic, Partition: partition, MinBytes: 1, MaxBytes: 10 << 20, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	for range tap.Records / 3 {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			return err
		}
		came := tap.Record{Partition: m.Partition, Key: m.Key, Value: m.Value, Time: m.Time.UnixMilli()}
		for _, header := range m.Headers {
			came.Headers = append(came.Headers, tap.Header(header))
		}
		if err := order.Take(came, m.Offset); err != nil {
			return err
		}
	}
	return nil
}

// --- groups --------------------------------------------------------------------------------------------------------------

func (c *checks) reader(group string) *kafka.Reader {
	return kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{c.server}, GroupID: group, Topic: group, StartOffset: kafka.FirstOffset, MinBytes: 1, MaxBytes: 10 << 20,
		MaxWait: 100 * time.Millisecond, HeartbeatInterval: 300 * time.Millisecond, QueueCapacity: 10,
	})
}

func (c *checks) readOn(ctx context.Context, topic string, from, to int, then func(*kafka.Reader, kafka.Message) error) error {
	reader := c.reader(topic)
	defer reader.Close()
	for next := from; next < to; next++ {
		m, err := reader.FetchMessage(ctx)
		if err != nil {
			return err
		}
		if err := errors.Join(tap.Equal(number(m), next, "read"), then(reader, m)); err != nil {
			return err
		}
	}
	return nil
}

func (c *checks) committed(ctx context.Context, group string) int64 {
	kept, err := c.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{group: {0}}})
	if err != nil || kept.Error != nil {
		return -100
	}
	return kept.Topics[group][0].CommittedOffset
}

func (c *checks) resume(ctx context.Context) error {
	topic, err := c.filled(ctx, "resume", 1, 100)
	if err != nil {
		return err
	}
	err = c.readOn(ctx, topic, 0, 60, func(reader *kafka.Reader, m kafka.Message) error {
		if m.Offset != 49 {
			return nil
		}
		return reader.CommitMessages(ctx, m)
	})
	if err := errors.Join(err, tap.Equal(c.committed(ctx, topic), int64(50), "committed")); err != nil {
		return err
	}
	return c.readOn(ctx, topic, 50, 100, func(*kafka.Reader, kafka.Message) error { return nil })
}

func (c *checks) group(ctx context.Context) error {
	topic, err := c.topic(ctx, "group", tap.Partitions)
	if err != nil {
		return err
	}
	writer := c.writer(topic)
	defer writer.Close()
	send := func(numbers []int) error { return writer.WriteMessages(ctx, numbered(numbers, tap.Partitions)...) }
	return tap.Rebalances(ctx, true, send, func(m *tap.Member) error { return c.member(topic, m) })
}

// One generation after another; in each, a function reads each partition and commits what it has read.
func (c *checks) member(topic string, m *tap.Member) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: topic, Brokers: []string{c.server}, Topics: []string{topic}, StartOffset: kafka.FirstOffset,
		HeartbeatInterval: 300 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	defer group.Close()
	for {
		generation, err := group.Next(m.Leave)
		if err != nil {
			if m.Leave.Err() != nil {
				return nil
			}
			return err
		}
		m.Has(len(generation.Assignments[topic]))
		for _, assigned := range generation.Assignments[topic] {
			generation.Start(func(ctx context.Context) { c.readPartition(ctx, topic, generation, assigned, m) })
		}
	}
}

func (c *checks) readPartition(ctx context.Context, topic string, generation *kafka.Generation, from kafka.PartitionAssignment, m *tap.Member) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.Leave, cancel)()
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{c.server}, Topic: topic, Partition: from.ID, MinBytes: 1, MaxBytes: 10 << 20, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	if err := reader.SetOffset(from.Offset); err != nil {
		return
	}
	next := from.Offset
	for {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			break
		}
		m.Read(number(message))
		next = message.Offset + 1
	}
	if next > 0 {
		generation.CommitOffsets(map[string]map[int]int64{topic: {from.ID: next}})
	}
}

// --- administration ------------------------------------------------------------------------------------------------------

// As the server says it now: a transport answers from what it has heard before.
func (c *checks) metadata(ctx context.Context, topics ...string) (*kafka.MetadataResponse, error) {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	return (&kafka.Client{Addr: c.addr, Transport: transport}).Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
}

func (c *checks) partitionsOf(ctx context.Context, topic string) int {
	metadata, err := c.metadata(ctx, topic)
	if err != nil || len(metadata.Topics) != 1 || metadata.Topics[0].Error != nil {
		return -1
	}
	return len(metadata.Topics[0].Partitions)
}

func (c *checks) topics(ctx context.Context) error {
	topic, err := c.topic(ctx, "topic", 3)
	if err != nil {
		return err
	}
	_, again := c.topic(ctx, "topic", 3)
	return errors.Join(tap.Equal(c.partitionsOf(ctx, topic), 3, "partitions"),
		tap.That(errors.Is(again, kafka.TopicAlreadyExists), "made twice"))
}

func (c *checks) partitions(ctx context.Context) error {
	topic, err := c.topic(ctx, "partitions", 2)
	if err != nil {
		return err
	}
	more := []kafka.TopicPartitionsConfig{{Name: topic, Count: 5}}
	answer, err := c.client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: more})
	if err != nil {
		return err
	}
	return errors.Join(answer.Errors[topic], tap.Equal(c.partitionsOf(ctx, topic), 5, "partitions"))
}

func (c *checks) config(ctx context.Context, kind kafka.ResourceType, resource, name string) string {
	asked := []kafka.DescribeConfigRequestResource{{ResourceType: kind, ResourceName: resource, ConfigNames: []string{name}}}
	answer, err := c.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: asked})
	if err != nil || answer.Resources[0].Error != nil || len(answer.Resources[0].ConfigEntries) != 1 {
		return fmt.Sprint(answer, err)
	}
	return answer.Resources[0].ConfigEntries[0].ConfigValue
}

func (c *checks) configs(ctx context.Context) error {
	topic, err := c.topic(ctx, "configs", 1, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "3600000"})
	if err := errors.Join(err, tap.Equal(c.config(ctx, kafka.ResourceTypeTopic, topic, "retention.ms"), "3600000", "retention.ms")); err != nil {
		return err
	}
	change := []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "cleanup.policy", Value: "compact", ConfigOperation: kafka.ConfigOperationSet}},
	}}
	answer, err := c.client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: change})
	if err != nil {
		return err
	}
	return errors.Join(answer.Resources[0].Error,
		tap.Equal(c.config(ctx, kafka.ResourceTypeTopic, topic, "cleanup.policy"), "compact", "cleanup.policy"))
}

func (c *checks) offsets(ctx context.Context) error {
	topic, err := c.filled(ctx, "offsets", 1, 20)
	if err != nil {
		return err
	}
	asked := map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}
	answer, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: asked})
	if err != nil {
		return err
	}
	found := answer.Topics[topic][0]
	if err := errors.Join(found.Error, tap.Equal([]int64{found.FirstOffset, found.LastOffset}, []int64{0, 20}, "first and last")); err != nil {
		return err
	}
	asked = map[string][]kafka.OffsetRequest{topic: {kafka.TimeOffsetOf(0, time.UnixMilli(tap.Time+4500))}}
	if answer, err = c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: asked}); err != nil {
		return err
	}
	_, there := answer.Topics[topic][0].Offsets[5]
	return tap.That(there, fmt.Sprint("behind a time: ", answer.Topics[topic][0].Offsets))
}

func (c *checks) listed(ctx context.Context, group string) bool {
	answer, err := c.client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil || answer.Error != nil {
		return false
	}
	for _, one := range answer.Groups {
		if one.GroupID == group {
			return true
		}
	}
	return false
}

func (c *checks) groups(ctx context.Context) error {
	topic, err := c.filled(ctx, "groups", 1, 20)
	if err != nil {
		return err
	}
	err = c.readOn(ctx, topic, 0, 1, func(reader *kafka.Reader, m kafka.Message) error {
		described, err := c.client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{topic}})
		if err != nil || described.Groups[0].GroupState != "Stable" || len(described.Groups[0].Members) != 1 {
			return fmt.Errorf("described: %v %w", described, err)
		}
		assigned := described.Groups[0].Members[0].MemberAssignments.Topics
		return errors.Join(reader.CommitMessages(ctx, m), tap.That(c.listed(ctx, topic), "it is not listed"),
			tap.Equal(assigned[0].Partitions, []int{0}, "its partitions"))
	})
	if err := errors.Join(err, tap.Equal(c.committed(ctx, topic), int64(1), "committed")); err != nil {
		return err
	}
	deleted, err := c.client.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: topic, Topics: map[string][]int{topic: {0}}})
	if err := errors.Join(err, tap.Equal(c.committed(ctx, topic), int64(-1), "deleted")); err != nil {
		return fmt.Errorf("%v: %w", deleted, err)
	}
	gone, err := c.client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{topic}})
	if err != nil {
		return err
	}
	return errors.Join(gone.Errors[topic], tap.That(!c.listed(ctx, topic), "it is still there"))
}

func (c *checks) deleteTopic(ctx context.Context) error {
	topic, err := c.filled(ctx, "delete-topic", 2, 10)
	if err != nil {
		return err
	}
	answer, err := c.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	metadata, err := c.metadata(ctx)
	if err != nil {
		return err
	}
	for _, one := range metadata.Topics {
		err = errors.Join(err, tap.That(one.Name != topic, "it is still there"))
	}
	return errors.Join(answer.Errors[topic], err)
}

func (c *checks) everything(ctx context.Context) error {
	metadata, err := c.metadata(ctx)
	if err := errors.Join(err, tap.Equal(len(metadata.Brokers), 1, "brokers")); err != nil {
		return err
	}
	if _, err := c.client.ApiVersions(ctx, &kafka.ApiVersionsRequest{}); err != nil {
		return err
	}
	broker := strconv.Itoa(metadata.Controller.ID)
	return tap.Equal(c.config(ctx, kafka.ResourceTypeBroker, broker, "broker.id"), broker, "broker.id")
}

func main() {
	tap.Main("github.com/segmentio/kafka-go", func(server, prefix string) []tap.Check {
		addr := kafka.TCP(server)
		c := &checks{server: server, prefix: prefix, addr: addr, client: &kafka.Client{Addr: addr, Timeout: 20 * time.Second}}
		codec := func(name string, codec kafka.Compression) tap.Check {
			return c.thereAndBack(name, func(writer *kafka.Writer) { writer.Compression = codec })
		}
		return []tap.Check{
			{Name: "topic", Run: c.topics},
			codec("none", 0), codec("gzip", kafka.Gzip), codec("snappy", kafka.Snappy), codec("lz4", kafka.Lz4), codec("zstd", kafka.Zstd),
			c.thereAndBack("acks=1", func(writer *kafka.Writer) { writer.RequiredAcks = kafka.RequireOne }),
			{Name: "resume", Run: c.resume}, {Name: "group", Run: c.group},
			{Name: "configs", Run: c.configs}, {Name: "offsets", Run: c.offsets}, {Name: "groups", Run: c.groups},
			{Name: "partitions", Run: c.partitions}, {Name: "delete-topic", Run: c.deleteTopic},
			{Name: "everything", Run: c.everything},
		}
	})
}
