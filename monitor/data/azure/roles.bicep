// roles.bicep: lets an identity read what maas-monitor's sources read, in one subscription, and nothing else.
//
//   az deployment sub create --location LOCATION --template-file roles.bicep \
//     --parameters principalId=OBJECT_ID sources='["cost-query","inventory"]'
//
// Leave out the sources you do not have. Roles for Log Analytics and Storage can be given at the workspace or the
// container alone instead: leave their sources out here, and use az role assignment create --scope.
// Billing scopes have roles of their own (Enterprise read-only, Billing profile reader), which no Bicep file gives.

targetScope = 'subscription'

@description('Object id of the managed identity, service principal, group or user that maas-monitor runs as.')
param principalId string

@description('What kind of principal that is.')
@allowed(['ServicePrincipal', 'Group', 'User'])
param principalType string = 'ServicePrincipal'

@description('Kinds of the sources in monitor.toml.')
@allowed(['cost-query', 'cost-details', 'cost-export', 'blobs', 'log-analytics', 'azure-metrics', 'inventory'])
param sources array = ['cost-query', 'cost-details', 'cost-export', 'blobs', 'log-analytics', 'azure-metrics', 'inventory']

// Built-in roles, the same in every tenant.
var reader = 'acdd72a7-3385-48ef-bd42-f606fba81ae7'
var costManagementReader = '72fafb9e-0641-4937-9268-a91bfd8191a3'
var monitoringReader = '43d0d8ad-25c7-4714-9337-8ba259a9fe05'
var logAnalyticsReader = '73c42c96-874c-492b-b04d-ab87d138a893'
var storageBlobDataReader = '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'

var roleOf = {
  'cost-query': costManagementReader
  'cost-details': costManagementReader
  'cost-export': storageBlobDataReader
  blobs: storageBlobDataReader
  'log-analytics': logAnalyticsReader
  'azure-metrics': monitoringReader
  inventory: reader
}

// Two sources may take the same role, which is given once.
var roles = union([], map(sources, source => roleOf[source]))

resource given 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in roles: {
    name: guid(subscription().id, principalId, role)
    properties: {
      principalId: principalId
      principalType: principalType
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]
