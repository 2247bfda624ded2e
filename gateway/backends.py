"""The services behind the door, as the REST edge calls them."""

from __future__ import annotations

from gateway.config import Settings
from gateway.peers import CallersPeer
from gateway.usage.admission import Admission
from gateway.usage.book import UsageBook
from servicekit.principal import Signer
from triptych.agent.v1 import agent_pb2, identity_pb2, provider_pb2, sharing_pb2, step_pb2, turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.identity_pb2_grpc import IdentityServiceStub
from triptych.agent.v1.provider_pb2_grpc import ProviderServiceStub
from triptych.agent.v1.sharing_pb2_grpc import SharingServiceStub
from triptych.agent.v1.step_pb2_grpc import StepServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub
from triptych.agent.v1.upkeep_pb2_grpc import UpkeepServiceStub
from triptych.archival.v1 import archival_pb2
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub


class Backends:
    """A peer a service, and a stub a contract."""

    def __init__(self, settings: Settings, signer: Signer, book: UsageBook, admission: Admission) -> None:
        self.agent_peer = CallersPeer("agent_service", settings.agent_address, signer, book, admission)
        self.recall_peer = CallersPeer("recall_service", settings.recall_address, signer, book, admission)
        self.archival_peer = CallersPeer("archival_service", settings.archival_address, signer, book, admission)
        self.agents = AgentServiceStub(self.agent_peer.methods)
        self.identities = IdentityServiceStub(self.agent_peer.methods)
        self.steps = StepServiceStub(self.agent_peer.methods)
        self.providers = ProviderServiceStub(self.agent_peer.methods)
        self.sharing = SharingServiceStub(self.agent_peer.methods)
        self.turns = TurnServiceStub(self.agent_peer.methods)
        self.upkeep = UpkeepServiceStub(self.agent_peer.methods)
        self.recall = RecallServiceStub(self.recall_peer.methods)
        self.archival = ArchivalServiceStub(self.archival_peer.methods)
        self.forwarded = {
            self.agent_peer: [
                agent_pb2.DESCRIPTOR.services_by_name["AgentService"],
                turn_pb2.DESCRIPTOR.services_by_name["TurnService"],
                step_pb2.DESCRIPTOR.services_by_name["StepService"],
                sharing_pb2.DESCRIPTOR.services_by_name["SharingService"],
                provider_pb2.DESCRIPTOR.services_by_name["ProviderService"],
                identity_pb2.DESCRIPTOR.services_by_name["IdentityService"],
            ],
            self.recall_peer: [recall_pb2.DESCRIPTOR.services_by_name["RecallService"]],
            self.archival_peer: [archival_pb2.DESCRIPTOR.services_by_name["ArchivalService"]],
        }

    async def close(self) -> None:
        for peer in self.forwarded:
            await peer.close()
