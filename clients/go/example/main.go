// Makes an agent, talks with it, and reads what was said.
//
//	TRIPTYCH_ADDRESS=127.0.0.1:7410 TRIPTYCH_API_KEY=trip_… go run ./example
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	agentv1 "triptych.dev/client/gen/triptych/agent/v1"
	recallv1 "triptych.dev/client/gen/triptych/recall/v1"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	connection, err := grpc.NewClient(
		os.Getenv("TRIPTYCH_ADDRESS"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx := metadata.AppendToOutgoingContext(
		context.Background(), "authorization", "Bearer "+os.Getenv("TRIPTYCH_API_KEY"))

	// A write that is sent again with the same request id has one effect.
	requestID := fmt.Sprintf("go-%d", time.Now().UnixNano())
	made, err := agentv1.NewAgentServiceClient(connection).CreateAgent(ctx, &agentv1.CreateAgentRequest{
		Agent:            &agentv1.Agent{Name: "from Go", Blocks: []*agentv1.Block{{Label: "human", Value: "Name: Ann."}}},
		IncludeBaseTools: true,
		RequestId:        requestID,
	})
	if err != nil {
		return err
	}
	said, err := talk(ctx, connection, made.Agent.Id, requestID)
	if err != nil {
		return err
	}
	fmt.Println("streamed:", said)

	kept, err := recallv1.NewRecallServiceClient(connection).ListMessages(
		ctx, &recallv1.ListMessagesRequest{AgentId: made.Agent.Id})
	if err != nil {
		return err
	}
	for _, message := range kept.Messages {
		fmt.Println("kept:", message.Text)
	}
	return nil
}

// talk runs one turn and gives what was streamed of the answer.
func talk(ctx context.Context, connection *grpc.ClientConn, agentID, requestID string) (string, error) {
	stream, err := agentv1.NewTurnServiceClient(connection).StartTurn(ctx, &agentv1.StartTurnRequest{
		AgentId:   agentID,
		RequestId: requestID,
		Messages:  []*agentv1.InputMessage{{Text: "Good morning!"}},
		Deltas:    true,
	})
	if err != nil {
		return "", err
	}
	said := ""
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return said, nil
		}
		if err != nil {
			return "", err
		}
		said += response.Event.GetTextDelta().GetText()
		if failed := response.Event.GetError(); failed != nil {
			return "", errors.New(failed.Message)
		}
	}
}
