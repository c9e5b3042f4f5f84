//! Docker's JSON types: those of `bollard-stubs`, and in the modules below what it lacks.
//!
//! [`ContainerCreateBody`] is ours, not bollard's: Docker takes `Cmd` and `Entrypoint` also as a plain string, and a
//! `MacAddress` at the top up to API 1.43. Importing bollard's type by mistake would refuse such requests.

mod command;
mod create;
mod network;
mod render;
pub mod stats;

pub use bollard_stubs::models::{
    AuthConfig, AuthResponse, ContainerConfig, ContainerCreateResponse, ContainerInspectResponse, ContainerState,
    ContainerStateStatusEnum, ContainerSummary, ContainerSummaryHealth, ContainerSummaryHealthStatusEnum,
    ContainerSummaryHostConfig, ContainerSummaryNetworkSettings, ContainerSummaryStateEnum, ContainerTopResponse,
    ContainerUpdateBody, ContainerUpdateResponse, ContainerWaitExitError, ContainerWaitResponse, DeviceMapping,
    DeviceRequest, DistributionInspect, DriverData, EndpointIpamConfig, EndpointSettings, ErrorResponse, EventActor,
    EventMessage, EventMessageScopeEnum, EventMessageTypeEnum, ExecConfig, ExecInspectResponse, ExecStartConfig,
    Health, HealthConfig, HealthStatusEnum, HealthcheckResult, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigIsolationEnum, HostConfigLogConfig, IdResponse, ImageConfig, ImageDeleteResponseItem,
    ImageHistoryResponseItem, ImageInspect, ImageInspectMetadata, ImageInspectRootFs, ImageSummary, IndexInfo, Ipam,
    IpamConfig, Mount, MountBindOptions, MountImageOptions, MountPoint, MountTmpfsOptions, MountType,
    MountVolumeOptions, MountVolumeOptionsDriverConfig, NetworkConnectRequest, NetworkCreateRequest,
    NetworkCreateResponse, NetworkDisconnectRequest, NetworkInspect, NetworkSettings, NetworkSummary, NetworkingConfig,
    OciDescriptor, OciPlatform, PluginsInfo, PortBinding, PortMap, PortSummary, PortSummaryTypeEnum, ProcessConfig,
    RegistryServiceConfig, ResourcesBlkioWeightDevice, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum, Runtime,
    SwarmInfo, SystemInfo, SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum, SystemVersion,
    SystemVersionComponents, SystemVersionPlatform, ThrottleDevice, Volume, VolumeCreateRequest, VolumeListResponse,
};

pub use create::ContainerCreateBody;
pub use network::{ConfigFrom, NetworkCreateBody};
pub use render::{container_config_json, host_config_json};
